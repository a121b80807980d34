"""One model runtime behind one protocol: batches of tiles in, heads out."""
