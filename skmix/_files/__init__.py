"""Fitted estimators in files that hold data and no code: `skmix.save`, `skmix.load`."""
