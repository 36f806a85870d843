"""How tables and targets become arrays that a net can read, and back."""
