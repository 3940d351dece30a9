"""A recording's tables in the forms other tools read."""
