"""The chain: log scan, cursor, reorgs, finality, deposit addresses. web3 lives here and nowhere else."""
