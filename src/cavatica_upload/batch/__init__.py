"""Many files: folders, manifests, shards; the folder tree and the metadata on the platform."""
