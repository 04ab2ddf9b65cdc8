"""What a step costs: the laws that costs follow, and what larger runs would take."""
