#!/usr/bin/env python3
"""gguf_splits.py SINTER [NAME...] [--count 200] [--seed 1]: for each name of tokenizer.ggml.pre a small byte-pair model over
the splits of its tokenizer.json, trained and used by `tokenizers`, written to a GGUF file as llama.cpp's converter writes
it: the ids of random texts. A file with a whole tokenizer.json in it (CLIP's parts), and names that are refused. Needs gguf,
tokenizers. Exit 1: something differs."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import gguf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
BLANK = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS = SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + BLANK
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}%s]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}%s]"


def cased(short, no=""):
    up, low, first = UP % no, LOW % no, r"[^\r\n\p{L}\p{N}]?"
    return f"{first}{up}*{low}+{short}|{first}{up}+{low}*{short}|"


O200K = cased(SHORT + "?") + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + BLANK
MARKED = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
          + BLANK)
JAPAN, CHINESE = "[一-龥\u3040-ゟ゠-ヿ]+", "[一-龥\u0800-一가-\ud7ff]+"
BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"
SPLITS = {
    "gpt-2": [GPT2], "roberta-bpe": [GPT2], "trillion": [GPT2], "smollm": ["digits", GPT2], "command-r": ["digits", GPT2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], "llama-bpe": [WORDS % r"\p{N}{1,3}"],
    "dbrx": [WORDS % r"\p{N}{1,3}"], "chatglm-bpe": [WORDS % r"\p{N}{1,3}"], "qwen2": [WORDS % r"\p{N}"],
    "jais-2": [WORDS.replace(r"\s+(?!\S)|\s+", "|".join(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4))
                             + r"|\s{1,2}(?!\S)|\s{1}") % r"\p{N}{1,3}"],
    "qwen35": [SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + BLANK],
    "ufakzeka": [(WORDS % r"\p{N}").removeprefix(SHORT + "|")], "laguna": [r"[^\n]+|[\n]+", WORDS % r"\p{N}"],
    "seed-coder": [SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + BLANK],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
                   r"\s+(?!\S)|\s+"],
    "exaone-moe": [SHORT + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|"
                   r"\s*[\r\n]|\s+(?!\S)|\s+"],
    "minicpm5": [r"\p{N}{1,3}", WORDS % r"\p{N}+"], "tekken": [cased("") + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + BLANK],
    "gpt-4o": [O200K], "llama4": [O200K], "minimax-m2": [O200K], "granite-embed-multi-97m": [O200K],
    "youtu": ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + JAPAN, O200K.replace("{1,3}", "")],
    "kimi-k2": [r"[\p{Han}]+|" + cased(SHORT + "?", r"&&[^\p{Han}]") + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + BLANK],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], "bloom": [BLOOM], "viking": [BLOOM, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", JAPAN, MARKED], "hunyuan-dense": [r"\p{N}{1,3}", JAPAN, MARKED],
    "spark2_5": [r"\p{N}{1,3}", JAPAN, MARKED.replace(r"[\r\n]*|\s*[\r\n]+", r"|[\r\n]"), r"\p{N}"],
    "deepseek-llm": [r"[\r\n]", r"\s?[\p{Lu}\p{Ll}\p{Lt}]+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$", CHINESE, r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CHINESE, r"\p{N}"],
    "chameleon": ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", r"\p{N}",
                  r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "afmoe": [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", "[一-\u9fff㐀-䶿\u8c48-\ufaff\u3040-ゟ゠-ヿ･-ﾟ⼀-\u2fdfเ-\u0e7f\u0e80-\u0eff"
              "ក-\u17ffက-႟ꩠ-ꩿꧠ-\ua9ff가-\ud7afᄀ-ᇿ]+", MARKED],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", O200K], "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"], "glm5": [WORDS % r"\p{N}{1,3}"],
}
PLAIN = ["gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"]
WHOLE = {"llama-bpe", "glm5", "minicpm5", "tekken", "granite-embed-multi-97m", "youtu"}
ADDS_BOS = {"llama-bpe", "tekken", "chameleon"}
REFUSED = ["no such", "gpt"]
PARTS = ["Hello", "don't", "I'LL", "we'Ve", "naïve", "İstanbul", "straße", "ΣΊΣΥΦΟΣ", "привет", "МИР", "12", "1234567", "٣٤٥", "½",
         "東京", "カタカナ", "한국어", "ไทย", "हिन्दी", "ǅ", "é", "!!", "...", "¿?", "“x”", "$5", "a=b", "~", "`q`", "(y)", "/", "\\n", "\n",
         "\r\n", "\n\n", " ", "  ", "   ", "\t", "\u00a0", "\u3000", "🙂", "👩‍💻", "x_y", "IMGIMGABZ", "CamelCase", "HTTPServer",
         "\u0301", "ʰ", "ſ", "K", "〇", "々", "。", "，", "；", " '", "'s", "'S", "ㄱ", "ㄅ"]


def text_of(r):
    return "".join(r.choice(PARTS) + r.choice(["", "", " "]) for _ in range(r.randrange(1, 14)))


def train(steps, texts, whole=False):
    t = Tokenizer(models.BPE(ignore_merges=whole))
    parts = [pre_tokenizers.Digits(individual_digits=True) if s == "digits" else
             pre_tokenizers.Split(Regex(s), "isolated") for s in steps]
    t.pre_tokenizer = pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, special_tokens=["<s>"], show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def clip(texts):
    """The parts of CLIP's tokenizer.json: none of them has a key in the file."""
    t = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    ends = ["<|startoftext|>", "<|endoftext|>"]
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, special_tokens=ends, end_of_word_suffix="</w>",
                                                     show_progress=False))
    t.post_processor = processors.RobertaProcessing((ends[1], 1), (ends[0], 0), False, False)
    return t


def plain(texts, has_blanks):
    """A model of characters, as Gemma's: bytes are its last tokens."""
    t = Tokenizer(models.BPE(unk_token="<s>", fuse_unk=True, byte_fallback=True))
    if has_blanks:
        t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        t.normalizer = normalizers.Replace(" ", "\u2581")
    t.train_from_iterator(texts[:60], trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>"], show_progress=False))
    own = json.loads(t.to_str())
    for i in range(256):
        own["model"]["vocab"][f"<0x{i:02X}>"] = len(own["model"]["vocab"])
    return Tokenizer.from_str(json.dumps(own))


def write(path, t, pre=None, whole_file=False):
    w = gguf.GGUFWriter(path, "llama")
    own = json.loads(t.to_str())
    if whole_file:
        w.add_string("tokenizer.huggingface.json", t.to_str())
    tokens = sorted(t.get_vocab(), key=t.get_vocab().get)
    w.add_tokenizer_model("gemma4" if pre == "gemma4" else "gpt2")
    if pre is not None:
        w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    special = {a["content"] for a in own["added_tokens"]}
    w.add_token_types([gguf.TokenType.CONTROL if x in special else gguf.TokenType.NORMAL for x in tokens])
    w.add_token_merges([" ".join(m) for m in own["model"]["merges"]])
    w.add_bos_token_id(0)
    w.add_unk_token_id(0)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()


def ask(sinter, path, texts):
    done = subprocess.run([sinter, "tokenize", path, "--json"], capture_output=True, text=True,
                          input="".join(json.dumps(t) + "\n" for t in texts))
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()] if done.returncode == 0 else done.stderr.strip()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("names", nargs="*")
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    args, bad = p.parse_args(), 0
    for name in args.names or [*SPLITS, *PLAIN, "clip", *REFUSED]:
        r = random.Random(f"{name} {args.seed}")
        with tempfile.TemporaryDirectory() as folder:
            path, texts = os.path.join(folder, "m.gguf"), [text_of(r) for _ in range(300)]
            t = clip(texts) if name == "clip" else plain(texts, name == "whitespace") if name in PLAIN else train(SPLITS.get(name, [GPT2]), texts, name in WHOLE)
            write(path, t, None if name == "clip" else name, name == "clip")
            fresh = [text_of(r) for _ in range(args.count)]
            got = ask(args.sinter, path, fresh)
        if name in REFUSED:
            good = isinstance(got, str) and f"tokenizer.ggml.pre is '{name}'" in got
            print(f"{name!r}: {'refused' if good else got}")
            bad += not good
            continue
        if isinstance(got, str):
            print(f"{name}: {got}")
            bad += 1
            continue
        first = [0] if name in ADDS_BOS else []
        wrong = [(x, g, first + t.encode(x).ids) for x, g in zip(fresh, got, strict=True) if g != first + t.encode(x).ids]
        print(f"{name}: {args.count - len(wrong)} of {args.count} equal")
        for x, g, e in wrong[:2]:
            print(f"  {x!r}: {[t.id_to_token(i) for i in g]}, expected {[t.id_to_token(i) for i in e]}")
        bad += len(wrong)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
