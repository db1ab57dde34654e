"""Whether files have changed: what counts as a change, what does not, and when it is told."""

import os

import trio

from netfront.net.watchfile import FileWatch, watch_files


def test_watch_tells_each_change_once(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("b")
    watch = FileWatch([str(one), str(other)])
    assert not watch.changed()
    one.write_text("aa")
    assert [watch.changed(), watch.changed()] == [True, False]
    replacement = tmp_path / "new"
    replacement.write_text("bb")
    os.replace(replacement, other)
    assert [watch.changed(), watch.changed()] == [True, False]


def test_watch_sees_a_file_of_the_same_size_and_time(tmp_path):
    file, replacement = tmp_path / "file", tmp_path / "new"
    file.write_text("a")
    replacement.write_text("b")
    stamp = file.stat().st_mtime_ns
    os.utime(replacement, ns=(stamp, stamp))
    watch = FileWatch([str(file)])
    os.replace(replacement, file)
    assert watch.changed()


def test_watch_says_what_is_missing_and_why(tmp_path):
    file = tmp_path / "file"
    file.write_text("a")
    watch = FileWatch([str(file)])
    file.rename(tmp_path / "away")
    assert not watch.changed()
    assert watch.missing == {str(file): "no such file or directory"}
    (tmp_path / "away").rename(file)
    assert not watch.changed()
    assert watch.missing == {}


def test_watch_follows_links(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "live"
    link.symlink_to("old")
    watch = FileWatch([str(link)])
    link.unlink()
    link.symlink_to("new")
    assert watch.changed()


def test_watch_waits_for_a_file_that_is_missing_for_a_moment(tmp_path):
    file = tmp_path / "file"
    file.write_text("a")
    watch = FileWatch([str(file)])
    file.unlink()
    assert not watch.changed()
    file.write_text("longer")
    assert watch.changed()


def test_watch_takes_a_file_that_came_back_as_it_was_for_unchanged(tmp_path):
    file, aside = tmp_path / "file", tmp_path / "aside"
    file.write_text("a")
    watch = FileWatch([str(file)])
    os.rename(file, aside)
    assert not watch.changed()
    os.rename(aside, file)
    assert not watch.changed()


def test_missing_file_holds_the_others_back_for_three_looks_only(tmp_path):
    gone, other = tmp_path / "gone", tmp_path / "other"
    gone.write_text("a")
    other.write_text("b")
    watch = FileWatch([str(gone), str(other)])
    gone.unlink()
    other.write_text("bb")
    assert [watch.changed() for _ in range(5)] == [False, False, False, True, False]
    gone.write_text("back")
    assert watch.changed()


def test_file_that_did_not_exist_at_first_is_a_change_when_it_comes(tmp_path):
    file = tmp_path / "file"
    watch = FileWatch([str(file)])
    assert not watch.changed()
    file.write_text("")
    assert watch.changed()


async def test_watching_tells_once_a_change(tmp_path, autojump_clock, nursery):
    file = tmp_path / "file"
    file.write_text("a")
    told = []
    nursery.start_soon(watch_files, FileWatch([str(file)]), lambda: told.append(trio.current_time()))
    await trio.sleep(5.5)
    assert told == []
    began = trio.current_time()
    file.write_text("longer")
    await trio.sleep(5)
    assert [round(moment - began, 3) for moment in told] == [0.6]


async def test_file_written_in_place_is_told_of_when_it_is_whole(tmp_path, autojump_clock, nursery):
    file = tmp_path / "file"
    file.write_text("the old content")
    told = []
    nursery.start_soon(watch_files, FileWatch([str(file)]), lambda: told.append(file.read_text()))
    await trio.sleep(0.95)
    with open(file, "w") as being_written:
        for _ in range(3):
            await trio.sleep(0.1)
            being_written.write("half ")
            being_written.flush()
    assert told == []
    await trio.sleep(5)
    assert told == ["half half half "]
