"""How one net is trained on mixed rows, and asked to predict."""
