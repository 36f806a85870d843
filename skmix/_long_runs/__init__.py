"""What long work needs: files to go on from, and a bar of its progress."""
