"""Money that goes back to who sent it: each refund is an attempt under the same rules as a payout."""
