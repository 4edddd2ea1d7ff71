"""A network, a loss and a data set that are no part of auralflow_pl."""
