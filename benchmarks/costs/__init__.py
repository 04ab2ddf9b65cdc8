"""What a step costs in operations, seconds and memory, the laws that these follow, and what larger runs would take."""
