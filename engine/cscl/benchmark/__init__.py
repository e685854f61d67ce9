"""The benchmark: a protocol fixes what is compared, a ledger keeps the runs, and a page is written from it alone."""
