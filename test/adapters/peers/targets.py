"""Which modules PEFT adapts and saves by a rule, and which parameters ms-swift trains by its flags, on the golden checkpoints.

usage: python targets.py GOLDEN > targets.json
"""
import json
import os
import sys
import types
import warnings

os.environ['CUDA_VISIBLE_DEVICES'] = ''
warnings.simplefilter('ignore')
import torch
from peft import LoraConfig, get_peft_model
from swift.utils.transformers_utils import activate_parameters, freeze_parameters, get_multimodal_target_regex
from transformers import AutoModelForImageTextToText

root = sys.argv[1]
AREA = dict(language_model=['model.language_model', 'lm_head'], vision_tower=['model.visual'])
RULES = [
    dict(target_modules=['q_proj', 'v_proj']),
    dict(target_modules=['self_attn.o_proj', 'attn.proj', 'lm_head']),
    dict(target_modules=['proj', 'qkv']),
    dict(target_modules=['model.language_model.layers.1.mlp.down_proj']),
    dict(target_modules='all-linear'),
    dict(target_modules='all-linear', exclude_modules=['down_proj', 'mlp.0']),
    dict(target_modules=['down_proj', 'up_proj'], exclude_modules='.*visual.*'),
    dict(target_modules=['q_proj', 'down_proj'], layers_to_transform=[1]),
    dict(target_modules=['q_proj', 'qkv'], layers_to_transform=[0, 2], layers_pattern='blocks'),
    dict(target_modules=['q_proj', 'qkv'], layers_to_transform=1, layers_pattern=['layers', 'blocks']),
    dict(target_modules=r'.*\.layers\.[02]\..*(q|k)_proj'),
    dict(target_modules=['q_proj', 'v_proj'], modules_to_save=['merger', 'embed_tokens']),
    dict(target_modules='all-linear', modules_to_save=['layers.0.mlp', 'lm_head']),
    dict(target_modules=['q_proj'], modules_to_save=['norm']),
    dict(target_modules=['q_proj', 'k_proj', 'down_proj'], r=4, lora_alpha=6, rank_pattern={'k_proj': 2, r'layers\.[01]\.mlp\.down_proj': 3},
         alpha_pattern={'q_proj': 5, 'k_proj': 7, 'mlp.down_proj': 9}, use_rslora=True),
]
FREEZE = [
    dict(ratio=0.3), dict(ratio=0.999, freeze_aligner=False), dict(ratio=0.5, train=['model.visual.blocks.1']),
    dict(prefixes=['model.language_model.layers.0', 'model.language_model.norm'], regex='norm'),
    dict(regex=r'layers\.[0-1]\.', train_regex=r'layers\.1\.mlp\.(up|down)'),
    dict(ratio=1.0, train=['model.language_model.norm'], train_regex='bias$'),
    dict(freeze_llm=True, freeze_vit=True, freeze_aligner=False), dict(freeze_vit=False, freeze_aligner=True, regex='qkv'),
    dict(freeze_vit=False, freeze_aligner=False, freeze_llm=True, prefixes=['model.visual.patch_embed', 'model.visual.merger']),
    dict(freeze_llm=False, freeze_vit=True, freeze_aligner=True, train=['model.visual.blocks.0.attn']),
]


def load(name):
    return AutoModelForImageTextToText.from_pretrained(os.path.join(root, name, 'model'), dtype=torch.float32)


result = {}
for name in sorted(os.listdir(root)):
    if not os.path.exists(os.path.join(root, name, 'model', 'config.json')):
        continue
    aligner = ['model.visual.merger'] + (['model.visual.deepstack_merger_list'] if name == 'qwen3_vl' else [])
    rules, swift, freeze = [], [], []
    for rule in RULES:
        config = LoraConfig(**{'r': 4, 'lora_alpha': 8, **rule})
        model = get_peft_model(load(name), config)
        layers = {n.removeprefix('base_model.model.'): [m.r['default'], m.scaling['default']]
                  for n, m in model.named_modules() if hasattr(m, 'lora_A') and 'default' in m.lora_A}
        saved = [n.removeprefix('base_model.model.').replace('.modules_to_save.default', '')
                 for n, p in model.named_parameters() if '.modules_to_save.' in n]
        rules.append(dict(rule=rule, layers=layers, saved=saved))
    for llm, vit, merger in [(False, True, True), (False, False, True), (False, False, False), (True, False, True), (True, True, False)]:
        model = load(name)
        arch = types.SimpleNamespace(language_model=AREA['language_model'], vision_tower=AREA['vision_tower'], aligner=aligner, lm_head='lm_head')
        model.model_meta = types.SimpleNamespace(model_arch=arch)
        model.model_info = types.SimpleNamespace(is_moe_model=False)
        regex = get_multimodal_target_regex(model, freeze_llm=llm, freeze_vit=vit, freeze_aligner=merger)
        peft = get_peft_model(model, LoraConfig(r=4, target_modules=regex))
        layers = [n.removeprefix('base_model.model.') for n, m in peft.named_modules() if hasattr(m, 'lora_A')]
        swift.append(dict(freeze=dict(llm=llm, vit=vit, aligner=merger), regex=regex, layers=layers))
    for rule in FREEZE:
        model = load(name).requires_grad_(True)
        prefixes, train = list(rule.get('prefixes', [])), list(rule.get('train', []))
        parts = dict(llm=rule.get('freeze_llm', False), vit=rule.get('freeze_vit', False), aligner=rule.get('freeze_aligner', True))
        # TunerArguments._init_multimodal_full
        if parts['llm']:
            prefixes += AREA['language_model']
        if parts['vit']:
            prefixes += AREA['vision_tower']
        if parts['aligner']:
            prefixes += aligner
        else:
            train += aligner
        freeze_parameters(model, rule.get('ratio', 0), prefixes, rule.get('regex'))
        if train or rule.get('train_regex'):
            activate_parameters(model, train, rule.get('train_regex'))
        freeze.append(dict(rule=rule, trained=[n for n, p in model.named_parameters() if p.requires_grad]))
    result[name] = dict(rules=rules, swift=swift, freeze=freeze)
json.dump(result, sys.stdout)
