"""The crash matrix: who dies, how and when, and what follows."""
