"""The attention reward as it was first written for ms-swift: it asks a flash or SDPA forward for weights, gets none, warns once
and returns 0.0. Only what leads to the 0.0 is here."""

from swift.rewards import ORM, orms
from swift.utils import get_logger

logger = get_logger()


class DDAPOAttentionORM(ORM):
    warned = False

    def __call__(self, completions, **kwargs):
        attentions = None  # outputs.attentions of any forward but an eager one
        if attentions is None and not DDAPOAttentionORM.warned:
            DDAPOAttentionORM.warned = True
            logger.warning("model outputs did not include attentions")
        return [0.0] * len(completions)


orms["ddapo_attention"] = DDAPOAttentionORM
