"""What the user sees: one panel a file, composed by the dock. A widget holds no arithmetic."""
