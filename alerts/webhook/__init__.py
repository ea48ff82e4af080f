"""What comes in: calls of action groups, signed calls and approvals, stored before they are answered."""
