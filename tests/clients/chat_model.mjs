// Gives a Hugging Face folder that tools/make_model wrote a chat template: node chat_model.mjs FOLDER
import { readFileSync, writeFileSync } from 'node:fs';

const file = `${process.argv[2]}/tokenizer_config.json`;
const config = JSON.parse(readFileSync(file, 'utf8'));
// damask knows a template by its marks; these are Llama 2's, whose vocabulary the model has.
config.chat_template = "{% for message in messages %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}{% endfor %}";
writeFileSync(file, JSON.stringify(config, null, 2));
