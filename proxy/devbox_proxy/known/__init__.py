"""What the operator's documents and the cluster say, compiled and kept current."""
