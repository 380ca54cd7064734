"""Many tests build a component only to read its figures; Amaranth's warning about that says nothing here."""


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")
