"""How bytes get to signed URLs, and what storage's answers prove. Nothing here ever sees the token."""
