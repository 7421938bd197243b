"""Budgets, breakers and bulkheads: the mechanisms alone; interceptors and the client put them to use."""
