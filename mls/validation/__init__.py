"""The rules of RFC 9420, one function per family; every check names the rule it carries out."""
