"""The page: one file that shows what the functions return."""

import re
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sample_nets import logits_net, number_net, tiny_default_net
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressor
from skmix.inspection import mixup_effect, mixup_report
from skmix.inspection._report import mixing_model

mpl.use("Agg")

X, Y = make_classification(90, 4, n_informative=3, n_redundant=1, random_state=0)
FRAME = pd.DataFrame(X, columns=["a", "<b>bold</b>", "c", "d"])
FRAME["hue"] = np.where(X[:, 0] > 0, "red & green", "<script>alert(1)</script>")
LABELS = np.array(["no", "<i>yes</i>"])[Y]
QUICK = {"cv": 3, "n_repeats": 1, "random_state": 0}


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.open = set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report():
    model = MixupClassifier(tiny_default_net(), alpha=0.5)
    return mixup_report(model, FRAME, LABELS, **QUICK, title="A <title>")


def test_the_page_needs_no_other_file_and_runs_no_script(report, tmp_path):
    page = Page(report.html)
    assert page.open == []
    assert not page.tags & {"script", "link", "iframe"}
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert report.html.count('name="viewport"') == 1
    assert "http" not in re.sub(r"base64,[^\"]*", "", report.html)
    saved = report.save(tmp_path / "report.html")
    assert saved.read_text("utf-8") == report.html


def test_what_users_pass_is_shown_and_never_run(report):
    assert "<script>" not in report.html
    assert "<i>yes" not in report.html
    assert "&lt;script&gt;alert(1)" in report.html
    assert "&lt;b&gt;bold" in report.html
    assert "A &lt;title&gt;" in report.html


def test_the_page_tells_the_verdict_and_how_to_read_each_picture(report):
    first, second = repr(report.effect).splitlines()
    text = report.html.replace("&#x27;", "'")
    assert first in text
    assert second in text
    assert report.html.count("<figure>") == report.html.count("Worry if</b>") == 6
    for heading in ("What entered", "What changed", "Whom it helps", "How this was"):
        assert heading in report.html
    assert "% red &amp; green" in report.html


def test_a_notebook_shows_the_page_in_a_frame(report):
    shown = report._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "<script" not in shown
    assert "save('report.html')" in repr(report)


def test_the_effect_of_the_page_is_that_of_mixup_effect(report):
    model = MixupClassifier(tiny_default_net(), alpha=0.5)
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=2)[0])
    effect = mixup_effect(model, FRAME, LABELS, **QUICK | {"random_state": seed})
    pd.testing.assert_frame_equal(effect.table, report.effect.table)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [None, np.tile([1.0, 0.0, 2.0], 30)])
def test_searches_pipelines_weights_and_groups(weight):
    net = logits_net(max_epochs=2)
    search = make_pipeline(StandardScaler(), MixupClassifierCV(net, alphas=(0.2, 1)))
    table = X.astype(np.float32)
    rows = {"sample_weight": weight, "groups": np.arange(90) // 2}
    report = mixup_report(search, table, Y, **QUICK, **rows)
    assert "one net of MixupClassifier at alpha" in report.html
    reg = MixupRegressor(number_net(max_epochs=2), alpha=1)
    page = mixup_report(reg, table, X[:, 0].astype(np.float32), **QUICK).html
    assert "Calibration" not in page
    assert page.count("<figure>") == 4


def test_what_cannot_be_shown_is_said_and_the_verdict_stays():
    net = tiny_default_net(max_epochs=2)
    model = MixupClassifier(net, alpha=0.5, layers=["embedding"])
    report = mixup_report(model, FRAME, LABELS, **QUICK, groups=np.arange(90) % 3)
    assert "This part cannot be shown: Got rows that were mixed behind" in report.html
    assert "Whom it helps, and whom it hurts" in report.html


def test_the_training_that_is_shown_is_repeated_once(monkeypatch):
    repeat, times = MixupClassifier.repeat_training, []

    def counted(self, *args, **kwargs):
        times.append(1)
        return repeat(self, *args, **kwargs)

    monkeypatch.setattr(MixupClassifier, "repeat_training", counted)
    model = MixupClassifier(logits_net(max_epochs=2), alpha=1)
    page = mixup_report(model, X.astype(np.float32), Y, **QUICK).html
    assert "mixed rows landed" in page
    assert "unmixed, how well it predicts" in page
    assert len(times) == 1


def test_clean_rows_are_no_near_copies():
    net = logits_net(max_epochs=2)
    model = MixupClassifier(net, alpha=5, clean_weight=1)
    page = mixup_report(model, X.astype(np.float32), Y, **QUICK).html
    assert "the net saw 180 rows, 90 of them mixed. Of these 0% were near" in page


def test_the_net_that_is_shown_mixes():
    net = logits_net(max_epochs=1)
    search = MixupClassifierCV(net, alphas=(0.2, 1), lam_per="row")
    effect = mixup_effect(search, X.astype(np.float32), Y, **QUICK)
    effect.chosen["setting"] = "alpha=0"
    shown = mixing_model(search, effect)
    assert isinstance(shown, MixupClassifier)
    assert (shown.alpha, shown.lam_per) == (0.2, "row")
    effect.chosen["setting"] = "alpha=1"
    assert mixing_model(search, effect).alpha == 1


def test_without_matplotlib_nothing_is_trained(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    model = MixupClassifier(tiny_default_net(), alpha=0.5)
    with pytest.raises(ImportError, match=r"skmix\[plots\]"):
        mixup_report(model, None, None)
