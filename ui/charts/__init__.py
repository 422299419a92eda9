"""How figures are drawn: charts, cards, and the table under each chart."""
