"""Treasury: the books compared with what chains and rails say."""
