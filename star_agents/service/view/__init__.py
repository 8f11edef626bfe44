"""What a run shows of itself: status, bill, metrics, rows, and what holds the others back."""
