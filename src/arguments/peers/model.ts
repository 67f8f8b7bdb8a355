/**
 * Peers' flags for the model: its source, and how its parameters are trained.
 */
import { ARCHITECTURES } from '../../models/registry.ts';
import { NOT_BUILT, type PeerTable } from './table.ts';

/** ms-swift's name of a model's template is its model_type, for all of these. */
const modelTypes = ARCHITECTURES.map(({ modelType }) => modelType);

export const modelPeers: PeerTable = {
  ignored: {
    'models and data are local folders and files: nothing is downloaded or uploaded': [
      'use_hf',
      'ref_model_revision',
      'check_model',
      'local_repo_path',
      'hub_token',
      'hub_model_id',
      'hub_strategy',
      'hub_private_repo',
      'hub_always_push',
      'hub_revision',
    ],
    'it is read from the checkpoint': ['ref_model_type', 'model_name', 'model_author'],
    'the supported models have no experts': ['experts_impl', 'router_aux_loss_coef'],
    'it belongs to a --task_type other than causal_lm': [
      'num_labels',
      'problem_type',
      'mrl_dims',
      'decision_drop_instructions',
      'decision_subsample_options',
      'decision_state_as_text',
      'decision_shuffle_fields',
    ],
    'adapters are trained and saved in float32': ['lora_dtype'],
    'it belongs to the initialisation LoRA-GA, which is not built': [
      'lora_ga_batch_size',
      'lora_ga_iters',
      'lora_ga_max_length',
      'lora_ga_direction',
      'lora_ga_scale',
      'lora_ga_stable_gamma',
    ],
    'there is only one implementation of LoRA here': ['tuner_backend'],
    'checkpoints of a LoRA run are adapters; sightline export merges them': ['merge_lora'],
    'it belongs to a tuner other than full and lora': [
      'fourier_n_frequency',
      'fourier_scaling',
      'boft_block_size',
      'boft_block_num',
      'boft_n_butterfly_factor',
      'boft_dropout',
      'vera_rank',
      'vera_projection_prng_key',
      'vera_dropout',
      'vera_d_initial',
      'adapter_act',
      'adapter_length',
      'adalora_target_r',
      'adalora_init_r',
      'adalora_tinit',
      'adalora_tfinal',
      'adalora_deltaT',
      'adalora_beta1',
      'adalora_beta2',
      'adalora_orth_reg_weight',
      'llamapro_num_new_blocks',
      'llamapro_num_groups',
      'reft_layer_key',
      'reft_layers',
      'reft_rank',
      'reft_intervention_type',
      'reft_args',
    ],
  },
  refused: {
    'the checkpoint defines the architecture and the chat template; leave it out': [
      'model_type',
      'template',
      'template_backend',
      'use_chat_template',
      'rope_scaling',
    ],
    'only --task_type causal_lm is supported': ['task_type'],
    'a checkpoint must have all its tensors; leave it out': ['init_strategy'],
    'add the tokens to the checkpoint and its tokenizer with transformers, and give the result to --model': [
      'new_special_tokens',
    ],
    'the reference model is the initial --model; leave it out': ['ref_model'],
    'only plain LoRA of linear layers is built; leave it out': ['use_dora', 'use_swift_lora', 'target_parameters'],
    'use --min_pixels and --max_pixels': ['model_kwargs'],
    'use --max_length for prompts and --max_completion_length for completions': ['max_model_len'],
    [NOT_BUILT]: ['lisa_activated_layers'],
  },
  neutral: {
    model_type: modelTypes,
    template: modelTypes,
    template_backend: ['swift', 'jinja'],
    use_chat_template: ['true', 'none', 'null'],
    task_type: ['causal_lm'],
    lisa_activated_layers: ['0'],
  },
};
