"""What a person asks of a drawing: typed options, wishes, views, kept pixels."""
