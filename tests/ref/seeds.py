"""seeds.py -- what the scripts have in common that try one random problem a seed."""
import argparse
import sys


def main(one, count, *names):
    """one(args, seed) says what is wrong, or nothing; names: arguments before --count and --seed, perhaps "--device"."""
    p = argparse.ArgumentParser()
    for name in names:
        p.add_argument(name, **({"default": "cpu"} if name == "--device" else {}))
    p.add_argument("--count", type=int, default=count)
    p.add_argument("--seed", type=int, default=0)
    args, bad = p.parse_args(), 0
    for seed in range(args.seed, args.seed + args.count):
        wrong = one(args, seed)
        bad += bool(wrong)
        if wrong:
            print("FAIL", seed, wrong, flush=True)
    print(f"{args.count - bad} of {args.count} agree")
    sys.exit(bad != 0)
