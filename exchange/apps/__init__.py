"""Applications: what a department decides with what it asked and was sent. Each room is one of them."""
