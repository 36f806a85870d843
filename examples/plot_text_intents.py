"""
Is text a table? Intents of short sentences
===========================================

A library gets 200 short sentences with ten intents: renew a loan, book a room, report a
problem. Two transformers of scikit-learn turn each sentence into 100 numbers, and rows
of numbers can be mixed. Does it help?
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifier
from skmix.inspection import mixup_effect

torch.set_num_threads(1)  # small nets are fastest on one thread
folder = Path(sys.argv[0]).resolve().parent  # of this script
table = pd.read_csv(folder / "data" / "intents.csv")
X, y = table[["text"]], table["intent"]
print(table.groupby("intent").first().to_string())

# %%
# Groups of two to five letters are counted, so that "renew" and "renewal" have most of
# them in common. ``TruncatedSVD`` keeps the 100 directions in which sentences differ
# most, and ``Normalizer`` makes long and short sentences comparable.


def mlp(d_in, d_out):
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


net = NeuralNetClassifier(
    mlp,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.Adam,
    lr=0.01,
    max_epochs=40,
    batch_size=32,
    train_split=None,
)
letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
model = make_pipeline(
    make_column_transformer((letters, "text")),
    TruncatedSVD(100, random_state=0),
    Normalizer(),
    MixupClassifier(net, alpha=0.4, random_state=0),
)

# %%
# The whole Pipeline is fitted in each fold, so no sentence held out is counted. (The
# sentences come as a frame with one column, because a table has columns.)

effect = mixup_effect(model, X, y, random_state=0)
print(effect)
print(effect.table.xs("alpha=0.4").round(3).to_string())

# %%
# Where does the model with mixing err?

folds = StratifiedKFold(5, shuffle=True, random_state=0)
predicted = cross_val_predict(model, X, y, cv=folds)
figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y, predicted, ax=ax, cmap="Greys", colorbar=False, xticks_rotation=45
)
wrong = table.assign(predicted=predicted)[predicted != y]
print(wrong.iloc[::6].to_string(index=False))

# %%
# **What a colleague would say.** "Mixing halves the log loss, in all ten folds: the
# bare net is wrong in a third of the sentences, and sure of most of them. With mixing
# it can say that it does not know, and a person can take over below a probability that
# you set. It does not understand more. Nearly two in three sentences are right either
# way, and what it confuses is what shares words: a book to be found, reserved, renewed
# or returned. For more of them right, get more sentences for each intent, or better
# numbers for them, from a model of language. Mixing comes after that."

ax.set(xlabel="predicted", ylabel="meant")
plt.show()
