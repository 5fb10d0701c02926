"""How predictions and the public sets lie in folders: which file belongs to which item, and to whom."""
