"""Letters that wait are counted, those that are taken, and those that retention took."""

import random

from streamer.enrich.letters import STRETCH, Letters


def test_what_went_is_counted_once(rng: random.Random) -> None:
    """Whoever takes from the front and whatever expires there: added are those that wait, were taken, and are
    gone; what is gone lay before the earliest offset, and of what did less than a stretch is still counted.
    """
    for _ in range(50):
        letters, offsets, offset, earliest = Letters(), list[int](), 0, 0
        taken = gone = added = 0
        for _ in range(200):
            step = rng.random()
            if step < 0.7:
                offset += rng.randrange(1, STRETCH)
                letters.add(offset)
                offsets.append(offset)
                added += 1
            elif step < 0.85:
                count = min(rng.randrange(4), len(offsets))
                letters.take(count)
                del offsets[:count]
                taken += count
            else:
                earliest = rng.randrange(earliest, offset + 1)
                lost = letters.expire(earliest)
                assert all(each < earliest for each in offsets[:lost])
                del offsets[:lost]
                gone += lost
                assert not [each for each in offsets if each < earliest // STRETCH * STRETCH]
            assert len(letters) == len(offsets) == added - taken - gone
