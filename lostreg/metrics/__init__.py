"""The figures: pure functions of annotated and predicted boxes."""
