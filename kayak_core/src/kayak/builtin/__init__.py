"""The kinds that the core itself provides, registered through the same hooks as any plugin."""
