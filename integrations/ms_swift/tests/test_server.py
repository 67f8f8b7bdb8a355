"""Tests the reward server as the plugin uses it, and the errors if it cannot: each names the fault and the next step."""

import os
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1])]

from golden import cases_of, model_of, row_of
from sightline_swift import register as names
from sightline_swift.errors import SightlineError
from sightline_swift.pixels import checkpoint_limits, require_pixel_limits
from sightline_swift.same_prompt import compare_prompts
from sightline_swift.server import node_missing, socket_path, start_server
from sightline_swift.settings import read_settings

PLUGIN = """
import { orms } from 'sightline';
class Slow { async call() { await new Promise(() => undefined); } }
class Stuck { call() { for (;;); } }
class Throws { call(completions) { return completions.map((text) => text.nothing.here); } }
class Forward { async call(_, kwargs) { await kwargs.model.forward({}); } }
class Pixels { call(_, kwargs) { return kwargs.images.map(([picture]) => picture.pixelValues.length); } }
class Sizes { call(_, kwargs) { return kwargs.images.map(([{ size }]) => size.shown.width * size.shown.height); } }
class Solution {
  static columns = ['solution'];
  call(completions, kwargs) { return completions.map((text, i) => (kwargs.solution[i] === text ? 1 : null)); }
}
Object.assign(orms, { slow: Slow, stuck: Stuck, throws: Throws, forward: Forward, pixels: Pixels, sizes: Sizes, solution: Solution });
"""


def request(reward: str, **changes) -> dict:
    return {
        "reward": reward,
        "completions": ["a", "b"],
        "num_generations": 2,
        "step": 1,
        "max_steps": 1,
        "rows": [{"messages": [{"role": "user", "content": "<image>What?"}], "images": ["a.png"], "solution": "a"}] * 2,
        "prompt_ids": [[1, 2, 3]] * 2,
        "completion_ids": [[7], [8, 9]],
        "system_prefix": [1, 1],
        "images": [[{"grid_thw": [1, 4, 6], "patch_size": 14}]] * 2,
        "image_token_id": 2,
        "video_token_id": -1,
        "attention_masses": None,
        **changes,
    }


class Server(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, plugin: str | None = None, **env: str):
        if plugin is not None:
            (self.folder / "plugin.ts").write_text(plugin)
            env["SIGHTLINE_PLUGINS"] = str(self.folder / "plugin.ts")
        server = start_server(read_settings(env), str(self.folder / "rewards.sock"))
        self.addCleanup(server.end)
        return server

    def judge(self, server, reward: str, **changes):
        server.ask("/make", {"reward": reward, "args": {}})
        return server.ask("/judge", request(reward, **changes))

    def told(self, function, *args, **kwargs) -> str:
        with self.assertRaises(SightlineError) as caught:
            function(*args, **kwargs)
        return str(caught.exception)

    def test_a_plugin_of_sightline_judges(self) -> None:
        server = self.start(PLUGIN)
        self.assertEqual(self.judge(server, "solution")["values"], [1, None])
        self.assertEqual(self.judge(server, "sizes")["values"], [4 * 6 * 14 * 14] * 2)
        stated = {reward["name"]: reward for reward in server.ask("/rewards", {})["rewards"]}
        self.assertEqual(stated["solution"]["file"], str(self.folder / "plugin.ts"))

    def test_what_a_reward_cannot_have_is_told(self) -> None:
        server = self.start(PLUGIN)
        self.assertRegex(self.judge_error(server, "throws"), r"reward \"throws\" threw: [\s\S]*at: .*plugin.ts:\d+[\s\S]*fix: return null")
        self.assertRegex(self.judge_error(server, "forward"), "calls the policy[\\s\\S]*attention_masses")
        self.assertRegex(self.judge_error(server, "pixels"), "pixelValues, which is not available in this process")
        self.assertRegex(self.told(server.ask, "/judge", request("format")), 'reward "format" was not made')

    def judge_error(self, server, reward: str) -> str:
        return self.told(self.judge, server, reward)

    def test_one_that_does_not_answer_is_told_by_the_server(self) -> None:
        server = self.start(PLUGIN, SIGHTLINE_REWARD_DEADLINE="0.5")
        self.assertRegex(self.judge_error(server, "slow"), "the request was not answered within 0.5 s")

    def test_one_that_fails_is_skipped_if_that_is_the_rule(self) -> None:
        server = self.start(PLUGIN, SIGHTLINE_REWARD_TIMEOUT="0.5", SIGHTLINE_REWARD_ERROR="skip")
        for reward, words in (("slow", "has not answered for 0.5 s"), ("throws", 'reward "throws" threw')):
            answer = self.judge(server, reward)
            self.assertEqual(answer["values"], [None, None])
            self.assertIn(words, answer["lines"][0]["text"])

    def test_one_that_blocks_the_server_is_told_by_the_plugin(self) -> None:
        server = self.start(PLUGIN)
        server.ask("/make", {"reward": "stuck", "args": {}})
        server._deadline = -9  # of 10 seconds' grace, 1
        self.assertRegex(self.told(server.ask, "/judge", request("stuck")), "has not answered /judge within 1 s[\\s\\S]*blocks the server")
        server._process.kill()

    def test_killed_in_mid_run(self) -> None:
        server = self.start()
        server._process.send_signal(signal.SIGKILL)
        server._process.wait()
        self.assertRegex(self.told(server.ask, "/rewards", {}), "has ended by signal 9, so the request /rewards failed")
        self.assertEqual(self.start().ask("/make", {"reward": "format", "args": {}})["label"], "Format")  # on the socket it left

    def test_it_ends_with_its_standard_input(self) -> None:
        server = self.start()
        server._process.stdin.close()
        self.assertEqual(server._process.wait(10), 0)
        self.assertFalse((self.folder / "rewards.sock").exists())

    def test_a_plugin_that_does_not_load(self) -> None:
        self.assertRegex(self.told(self.start, "throw new Error('no');"), "did not start: it ended with the message above")

    def test_built_in_names_are_those_of_the_server(self) -> None:
        labels = {reward["name"]: reward["label"] for reward in self.start().ask("/rewards", {})["rewards"]}
        for name in names.OWN_ENGINE_ONLY:
            labels.pop(name)
        stated = {there: label for there, _, label in names.BUILT_IN} | {names.DDAPO: "DDAPOAttentionORM"}
        self.assertEqual(labels, stated)


class NoNode(unittest.TestCase):
    def test_is_told(self) -> None:
        self.assertEqual(node_missing(read_settings({"SIGHTLINE_NODE": "no-such-node"})), "there is no program no-such-node")
        self.assertIn("npm ci && npm run build", node_missing(read_settings({"SIGHTLINE_CLI": "/nowhere/main.js"})))

    def test_python_takes_its_place_unless_there_is_a_plugin(self) -> None:
        self.assertIsNone(names.server_of_rank(read_settings({"SIGHTLINE_NODE": "no-such-node"})))
        for env in ({"SIGHTLINE_PLUGINS": "a.ts"}, {"SIGHTLINE_FORMULA": "node"}):
            with self.assertRaisesRegex(SightlineError, "there is no program no-such-node[\\s\\S]*install Node"):
                names.server_of_rank(read_settings({"SIGHTLINE_NODE": "no-such-node", **env}))


class Settings(unittest.TestCase):
    def test_slips_are_told(self) -> None:
        for env, words in (
            ({"SIGHTLINE_ATTN_PROBE": "fast"}, 'SIGHTLINE_ATTN_PROBE is "fast"[\\s\\S]*auto, fused, eager'),
            ({"SIGHTLINE_ATTN_BATCH_SIZE": "1.5"}, "whole number"),
            ({"SIGHTLINE_REWARD_DEADLINE": "0"}, "above 0"),
            ({"SIGHTLINE_REWARD_ERROR": "ignore"}, "stop, skip"),
            ({"SIGHTLINE_REWARD_OPTIONS": "[1]"}, "write a JSON object"),
            ({"DDAPO_GROUP_NORM": "maybe"}, "neither on nor off"),
        ):
            with self.subTest(env), self.assertRaisesRegex(SightlineError, words):
                read_settings(env)


class Pixels(unittest.TestCase):
    def test_limits_must_be_set_and_are_named(self) -> None:
        model = str(model_of("published"))
        with self.assertRaisesRegex(SightlineError, "MAX_PIXELS not set[\\s\\S]*export MIN_PIXELS=4000 MAX_PIXELS=50176"):
            require_pixel_limits(model, {"MIN_PIXELS": "4000"})
        require_pixel_limits(model, {"MIN_PIXELS": "4000", "MAX_PIXELS": "50176"})
        self.assertEqual(checkpoint_limits(str(model_of("nested_tied"))), {"MIN_PIXELS": 3136, "MAX_PIXELS": 50176})

    def test_other_limits_make_other_prompts_and_are_told(self) -> None:
        case = next(case for case in cases_of("published") if case["name"] == "downscaled")
        samples = [{"prompt_ids": case["prompt_ids"], "rows": row_of("published", case)}]
        for limit, expected in (("50176", "prompt ids: 1 of 1 as sightline makes them"), ("12544", "the first difference is at position")):
            said: list[str] = []
            with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"MAX_PIXELS": limit, "MIN_PIXELS": "3136"}):
                server = start_server(read_settings({}), f"{folder}/rewards.sock")
                compare_prompts(samples, str(model_of("published")), server, lambda level, line: said.append(line))
                server.end()
            self.assertRegex(said[0], expected)


class Socket(unittest.TestCase):
    def test_processes_of_one_launcher_share_it_and_others_do_not(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(tempfile, "gettempdir", lambda: folder):
            with mock.patch.dict(os.environ, {"LOCAL_RANK": "1"}):
                self.assertTrue(socket_path().endswith(f"/rewards-{os.getppid()}.sock"))
            self.assertTrue(socket_path().endswith(f"/rewards-{os.getpid()}.sock"))
            os.chmod(f"{folder}/sightline-{os.getuid()}", 0o777)
            with self.assertRaisesRegex(SightlineError, "not a private folder of this user"):
                socket_path()


if __name__ == "__main__":
    unittest.main()
