"""What is made of the timings: tables, pictures, documents."""
