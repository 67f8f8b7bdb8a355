"""The attention reward inside ms-swift: measures how completions of its policy look at the picture, and rewards it."""
