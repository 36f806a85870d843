"""
Tracking a training and storing the model: mlflow
=================================================

mlflow keeps parameters, metrics and models of many runs. skmix needs no code of its
own for it: the losses of each epoch are in ``history_``, and the fitted classifier is
stored like one of scikit-learn. The format of the stored model has to be chosen.
"""

# %%
# The runs go to a folder that is thrown away. Take a folder of your own, or the address
# of a server, to keep them.

import logging
import tempfile
from importlib.metadata import version

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import torch
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmix import MixupClassifier, default_net

torch.set_num_threads(1)  # small nets train fastest on one thread
names = ["skmix", "mlflow-skinny", "skops", "scikit-learn", "torch"]
print({name: version(name) for name in names})

folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
mlflow.set_tracking_uri(f"sqlite:///{folder.name}/mlflow.db")
mlflow.create_experiment("mixup", artifact_location=f"file://{folder.name}/models")
mlflow.set_experiment("mixup")
logging.getLogger("mlflow").setLevel(logging.ERROR)  # the formats are told below

# %%
# One run for each alpha: its parameters, its losses by epoch and its loss on test rows.

X, y = load_wine(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
net = default_net("classifier").set_params(max_epochs=40)

fitted = {}
for alpha in [0, 0.2, 1]:
    clf = MixupClassifier(net, alpha=alpha, random_state=0)
    with mlflow.start_run(run_name=f"alpha={alpha:g}"):
        mlflow.log_params({"alpha": alpha, "max_epochs": net.max_epochs})
        clf.fit(X_train, y_train)
        for epoch in clf.history_:
            losses = {name: epoch[name] for name in ["train_loss", "valid_loss"]}
            mlflow.log_metrics(losses, step=epoch["epoch"])
        loss = log_loss(y_test, clf.predict_proba(X_test))
        mlflow.log_metric("test_log_loss", loss)
    fitted[alpha] = clf

runs = mlflow.search_runs(order_by=["metrics.test_log_loss"])
print(runs[["params.alpha", "metrics.test_log_loss"]].round(4).to_string(index=False))

# %%
# The formats of mlflow. ``pip_requirements`` are given, so that mlflow does not have to
# find them by loading the model in another process.

clf = fitted[0.2]
for kind in ["skops", "pickle", "cloudpickle"]:
    try:
        stored = mlflow.sklearn.log_model(
            clf, name=kind, serialization_format=kind, pip_requirements=["skmix"]
        )
        loaded = mlflow.sklearn.load_model(stored.model_uri)
        same = np.array_equal(loaded.predict_proba(X_test), clf.predict_proba(X_test))
        print(f"{kind}: loaded, the same predictions: {same}")
    except MlflowException as error:
        print(f"{kind}: {str(error).partition('.')[0]}.")

# %%
# The losses that mlflow kept. The training loss is one of mixed rows, so with mixing it
# is higher than the validation loss, which is never mixed.

client = mlflow.MlflowClient()
figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), sharey=True, layout="constrained")
runs = runs.sort_values("params.alpha")
for ax, run, alpha in zip(axes, runs["run_id"], runs["params.alpha"], strict=True):
    for name in ["train_loss", "valid_loss"]:
        curve = client.get_metric_history(run, name)
        ax.plot([m.step for m in curve], [m.value for m in curve], label=name)
    ax.set(title=f"alpha {alpha}", xlabel="epoch", yscale="log")
axes[0].legend(frameon=False)
figure.savefig("plot_mlflow_tracking.png", dpi=100)

# %%
# What the run showed, with the versions above:
#
# - "pickle" and "cloudpickle" work: the loaded classifier predicts the same, to the
#   bit. Load such files from people you trust only: they can run any code.
# - "skops", which mlflow recommends as safe, cannot store a fitted classifier of skmix.
# - Mixing does not help here. Alpha 0 has the lowest loss on the 45 test rows.
