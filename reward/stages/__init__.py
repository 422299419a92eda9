"""Each stage of training alone, on files: no project, no database, one folder that comes out."""
