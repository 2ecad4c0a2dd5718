"""What is legal but probably wrong with documents, alone and together. Pure."""
