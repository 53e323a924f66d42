"""The zoo: networks of other people's Keras collections and of the Keras tutorials, small and with random weights.

The rule by which they were chosen, written down before any of them was converted:

1. *Collections.*  Packages of the Python index that make networks of Keras layers, of these three kinds.  The most
   used: all among the 15,000 most downloaded packages (keras-hub, efficientnet, tf-models-official, mtcnn,
   transformers; keras-nlp is keras-hub under its old name, and keras.applications has rows in the other tables).  The
   newest: those with a release in 2026 or late in 2025.  The established: older ones that notebooks and papers import.
2. *Networks of a collection.*  The families in the order in which the collection lists them, and of each the smallest
   variant: 26 of keras-hub (its image families, then its text families, one of each kind of decoder), 20 of
   keras-cv-attention-models, at most four of each other collection.  Layers without a network of their own are put
   into the network that their page shows.
3. *Tutorials.*  Examples of keras.io, of each section the first ones that end in a network of their own, written anew
   here after the description.
4. *Sizes* are made small with the collection's own arguments: pictures of 32 to 96 pixels, 8 to 64 tokens, few layers.
5. A network that the pinned versions cannot build stays in the table as `not built` with the error, and is left out of
   the shares: nothing was brought that could be converted.

Weights are random, with the statistics of trained ones (`weights.py`).  Building and saving happen in one process,
converting the file in another, as a user would.
"""
