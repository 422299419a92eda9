"""What is remembered: tables, engine, migrations and blobs. Imports none of the other rooms."""
