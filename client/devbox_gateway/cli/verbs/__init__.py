"""One file for each group of verbs; table.py names them. Nothing is imported before it is used."""
