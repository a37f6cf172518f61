"""Pages: the recipient's form, the deposit page and the tracker."""
