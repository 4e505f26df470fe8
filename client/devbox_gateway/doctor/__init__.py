"""What is wrong with an installation and a namespace, as far as the person who asks may look."""
