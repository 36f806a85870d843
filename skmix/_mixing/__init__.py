"""What a mixed step draws, and how rows are mixed. Knows arrays and tensors alone."""
