"""The attention reward inside ms-swift: how completions of its policy look at the picture, and what that is worth."""
