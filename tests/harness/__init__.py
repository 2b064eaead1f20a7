"""What tests run the real service with: processes, readers, recordings of our own."""
